package wake_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/wake"
)

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestALoopThatIsWokenOftenLooksOnce(t *testing.T) {
	one := wake.NewOne()
	assert.False(t, closed(one))
	one.Up()
	one.Up()
	assert.True(t, closed(one))
	assert.False(t, closed(one))
}

func TestAllWhoWaitAreWoken(t *testing.T) {
	var all wake.All
	all.Up() // nobody waits
	first, second := all.Changed(), all.Changed()
	assert.False(t, closed(first))
	all.Up()
	assert.True(t, closed(first) && closed(second))
	assert.False(t, closed(all.Changed()), "only what comes after the call counts")
}

func TestOnlyAnotherValueIsNews(t *testing.T) {
	var latest wake.Latest[[]string]
	changed := latest.Changed()
	assert.False(t, latest.Set(nil))
	assert.False(t, closed(changed))
	assert.True(t, latest.Set([]string{"east"}))
	assert.True(t, closed(changed))
	changed = latest.Changed()
	assert.False(t, latest.Set([]string{"east"}))
	assert.False(t, closed(changed))
	assert.Equal(t, []string{"east"}, latest.Get())
}
