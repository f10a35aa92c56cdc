"""What `perdure check` does: reads the code of workflows, and replays histories against it in processes of their own."""
