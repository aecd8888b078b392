package kube_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/kube"
)

func TestAComplaintIsToldOnce(t *testing.T) {
	var c kube.LogOnce
	assert.False(t, c.IsNew(nil))
	assert.True(t, c.IsNew(errors.New("no CRD")))
	assert.False(t, c.IsNew(errors.New("no CRD")))
	assert.True(t, c.IsNew(errors.New("forbidden")), "another one")
	assert.False(t, c.IsNew(nil))
	assert.True(t, c.IsNew(errors.New("forbidden")), "it had passed")
}
