"""Words for people at a terminal. Each module is one group of commands; never knows how the rooms do what they do."""
