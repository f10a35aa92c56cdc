"""The demonstration: purchase requests that survive a worker which is killed again and again."""
