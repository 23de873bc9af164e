"""Who a command runs as: root becomes the service user, whose files they are."""

from __future__ import annotations

import os


def become_owner(state: str) -> None:
    """As root, become the owner of the state folder.

    A lock or a database that belongs to root would lock the service out.
    """
    if os.geteuid() != 0:
        return
    try:
        found = os.stat(state)
    except OSError:
        return
    if found.st_uid == 0:
        return
    import pwd

    try:
        os.initgroups(pwd.getpwuid(found.st_uid).pw_name, found.st_gid)
    except KeyError:
        os.setgroups([found.st_gid])
    os.setgid(found.st_gid)
    os.setuid(found.st_uid)
