"""How files and folders are written: in one move, never through a device, and what killed runs left is cleared away.

A file is written under a temporary name beside its place, synced and renamed; a folder is built beside its place and
exchanged with it. Whoever reads sees the older one or the new one, whole, also after a kill or on a full disk.
"""

from qgait.files.one_file import replace_file, replacing
from qgait.files.places import check_file, check_folder, check_new_folder, check_utf_8
from qgait.files.space import require_space
from qgait.files.temporary_work import require_work_space, work_folder
from qgait.files.whole_folder import replacing_folder

__all__ = [
    "check_file",
    "check_folder",
    "check_new_folder",
    "check_utf_8",
    "replace_file",
    "replacing",
    "replacing_folder",
    "require_space",
    "require_work_space",
    "work_folder",
]
