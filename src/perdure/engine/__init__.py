"""Carries values between the code that decides and the store: workers, attempts, commits, leases."""
