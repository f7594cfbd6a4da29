"""The lessons, a file each: functions that show something, in order, and exercises. Their words lie in `texts/`."""
