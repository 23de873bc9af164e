"""The disk: what is there, which names share an inode, what a marker says, what is mounted."""
