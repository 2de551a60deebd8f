"""What the system counts about itself, on the lowest floor so that everything above can count."""
