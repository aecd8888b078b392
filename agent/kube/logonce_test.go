package kube_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/kube"
)

func TestRecurringErrorIsLoggedOnce(t *testing.T) {
	var l kube.LogOnce
	assert.False(t, l.IsNew(nil))
	assert.True(t, l.IsNew(errors.New("no CRD")))
	assert.False(t, l.IsNew(errors.New("no CRD")))
	assert.True(t, l.IsNew(errors.New("forbidden")), "another error")
	assert.False(t, l.IsNew(nil))
	assert.True(t, l.IsNew(errors.New("forbidden")), "an attempt without an error came between")
}
