package budget_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/budget"
)

func TestRequestsAreAllowedAtOnceAndThenOneInEachInterval(t *testing.T) {
	for _, kind := range []budget.Kind{budget.Operations, budget.Removals, budget.Members, budget.Admissions} {
		var s catalog.Settings
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		allowed := func() bool { return kind.Allows(budget.Until(s, kind, "west"), now) }
		for range kind.Burst() {
			assert.True(t, allowed())
			s = budget.Spend(s, kind, "west", now)
		}
		assert.False(t, allowed())
		assert.True(t, kind.Allows(budget.Until(s, kind, "east"), now), "the others have their own")
		now = now.Add(kind.Interval() - 1)
		assert.False(t, allowed())
		now = now.Add(1)
		assert.True(t, allowed())
		s = budget.Spend(s, kind, "west", now)
		assert.False(t, allowed())
	}
}

// A clock that is behind gains at most the requests of the time that it may be.
func TestTimeOfACommandDoesNotRefillABudget(t *testing.T) {
	var s catalog.Settings
	now, made := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), 0
	for budget.Removals.Allows(budget.Until(s, budget.Removals, "west"), now) {
		s = budget.Spend(s, budget.Removals, "west", now.Add(-catalog.MaxClockSkew))
		made++
	}
	assert.Equal(t, budget.Removals.Burst()+1, made)
}

func TestBudgetsThatArePaidForAreDropped(t *testing.T) {
	var s catalog.Settings
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range 100 {
		s = budget.Spend(s, budget.Operations, catalog.DatacenterName(fmt.Sprint("dc", i)), now)
		now = now.Add(budget.Operations.Interval())
	}
	assert.Less(t, len(s.Budgets), 25)
	for range 1000 { // the leader's own datacenter is not limited
		s = budget.Spend(s, budget.Operations, "west", now)
	}
	assert.True(t, budget.Operations.Allows(budget.Until(s, budget.Operations, "west"), now.Add(time.Hour)))
}
