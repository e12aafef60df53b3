"""Files and folders that are whole or absent, on a disk or in a bucket.

A file is written to a temporary name and renamed (`files`). A unit of work is a folder with a
`done.json` that names what went in and the digest of every file (`units`, `digests`); it is made
again when one of them has changed. A run folder (`run_folders`) lies on a disk or, through a mirror
that is kept here, in a bucket (`mirrors`, `object_storage`); `locations` tells paths from
addresses. One process at a time writes in it (`locks`, `leases`). `format_version` is about folders
of earlier versions. Nothing here knows of texts or models.
"""
