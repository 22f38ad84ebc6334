"""What a task is: the table of tasks, and for each kind its losses, its metrics, and what its logits mean."""
