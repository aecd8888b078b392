package notify_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/notify"
)

func received(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestSignalsBeforeOneReceiveAreMerged(t *testing.T) {
	signal := notify.NewSignal()
	assert.False(t, received(signal))
	signal.Notify()
	signal.Notify()
	assert.True(t, received(signal))
	assert.False(t, received(signal))
}

func TestBroadcastWakesAllWaiters(t *testing.T) {
	var broadcast notify.Broadcast
	broadcast.Notify() // without waiters
	first, second := broadcast.Changed(), broadcast.Changed()
	assert.False(t, received(first))
	broadcast.Notify()
	assert.True(t, received(first) && received(second))
	assert.False(t, received(broadcast.Changed()), "only a Notify after the call counts")
}

func TestLatestNotifiesOnlyOfAnotherValue(t *testing.T) {
	var latest notify.Latest[[]string]
	changed := latest.Changed()
	assert.False(t, latest.Set(nil))
	assert.False(t, received(changed))
	assert.True(t, latest.Set([]string{"east"}))
	assert.True(t, received(changed))
	changed = latest.Changed()
	assert.False(t, latest.Set([]string{"east"}))
	assert.False(t, received(changed))
	assert.Equal(t, []string{"east"}, latest.Get())
}
