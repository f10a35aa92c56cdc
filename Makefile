# `make` alone lists the commands. What each does stands in ./dev, which serves also where make is missing.
# ARGS reaches the command: make test ARGS='tests/unit -k retry'

COMMANDS = help setup demo check test test-cluster format torture mutants docs bench lock clean

.DEFAULT_GOAL := help
.PHONY: $(COMMANDS)

$(COMMANDS):
	@sh dev $@ $(ARGS)
