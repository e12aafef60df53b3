"""Arrow's types of values, of whatever layout: which are text, and which may be ids."""

from __future__ import annotations

import pyarrow as pa


def plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values, where they stand in a dictionary or a view."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    views = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    return views.get(kind, kind)  # a view can be neither filtered nor joined


def is_string(kind: pa.DataType) -> bool:
    """Return whether values are strings, of whatever layout."""
    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def is_binary(kind: pa.DataType) -> bool:
    """Return whether values are bytes of any length."""
    types = pa.types
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def has_text_form(kind: pa.DataType) -> bool:
    """Return whether values that are no text may be ids; of floats nobody knows the digits."""
    kind, types = plain(kind), pa.types
    is_time = types.is_timestamp(kind) or types.is_date(kind) or types.is_time(kind)
    is_number = types.is_integer(kind) or types.is_decimal(kind) or types.is_boolean(kind)
    is_bytes = types.is_fixed_size_binary(kind) or isinstance(kind, pa.UuidType)
    return is_time or is_number or is_bytes
