"""doctor: looks at what the jobs rest on, and tells what is wrong, why it matters, what to do."""
