"""What `manage.py serve` is made of: engine children and their supervisor."""
