"""The jobs: one file each, top to bottom run, scan, plan, why, apply."""
