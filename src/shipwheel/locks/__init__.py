"""Lock files → `Lock` → the files to install for one target. Downloads nothing, builds nothing.

The public functions are in `find` (find_lock), `read` (read_lock), `fresh` (check_fresh), `select`
(select_packages), `choose` (name_file) and `pylock` (to_pylock).
"""
