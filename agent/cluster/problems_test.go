package cluster_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/cluster"
	"github.com/meshway/meshway/agent/plan"
)

func TestProblemsLastUntilTheirSourceReplacesThem(t *testing.T) {
	var p cluster.Problems
	services, properties := p.Source("services"), p.Source("properties")
	services([]plan.Problem{{Code: "b"}})
	properties([]plan.Problem{{Code: "a"}})
	assert.Equal(t, []plan.Problem{{Code: "a"}, {Code: "b"}}, p.All())
	properties(nil)
	assert.Equal(t, []plan.Problem{{Code: "b"}}, p.All())
}
