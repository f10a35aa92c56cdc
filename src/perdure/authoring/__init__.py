"""What workflow code may ask for: workflows, steps, values and waiting."""
