"""Files and folders that are whole or absent, on a disk or in a bucket.

A file is written to a temporary name and renamed (`files`). A unit of work is a folder with a
`done.json` that names what went in and the digest of every file (`units`); it is made again when
one of them has changed. A run folder (`run_folders`) lies on a disk or, through a mirror that is
kept here, in a bucket (`mirrors`, `object_storage`); one process at a time writes in it (`locks`,
`leases`). `locations` checks how a place is written, `digests` names files by their content,
`format_version` refuses what a newer version wrote. Nothing here knows of texts or models.
"""
