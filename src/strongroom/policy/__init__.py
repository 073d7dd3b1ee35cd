"""May this caller do that? Pure: never knows where documents are kept, async, or the time except as an argument."""
