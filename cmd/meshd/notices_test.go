package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/plan"
)

func TestNoticesStandUntilTheirSourceTakesThemBack(t *testing.T) {
	n := newNotices()
	services, properties := n.of("services"), n.of("properties")
	services([]plan.Problem{{Code: "b"}})
	properties([]plan.Problem{{Code: "a"}})
	assert.Equal(t, []plan.Problem{{Code: "a"}, {Code: "b"}}, n.all())
	properties(nil)
	assert.Equal(t, []plan.Problem{{Code: "b"}}, n.all())
}
