"""What `demo.py` is made of: a place to work in, worker processes, the story, and what is printed of it."""
