"""The wire: every message of every link as frozen data, and the codec between messages and bytes."""
