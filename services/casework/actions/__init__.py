"""The commands of casework, by subject: each loads, decides, writes and publishes."""
