"""Workers: the processes of a slave that execute tasks, and the state machine that feeds them."""
