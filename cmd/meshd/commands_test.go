package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/cmd/commandtest"
)

func TestCommandsNamedInTheRepositoryExist(t *testing.T) {
	assert.Greater(t, commandtest.Check(t, root, rootCommand()), 20)
}
