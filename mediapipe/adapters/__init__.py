"""The adapters: each speaks to one program or service and fills one port."""
