"""The nodes of the loop, one file each: functions of state and context that return what changed."""
