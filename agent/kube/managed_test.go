package kube_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/agent/kube"
)

func TestAComplaintIsToldOnce(t *testing.T) {
	var c kube.Complaint
	assert.False(t, c.New(nil))
	assert.True(t, c.New(errors.New("no CRD")))
	assert.False(t, c.New(errors.New("no CRD")))
	assert.True(t, c.New(errors.New("forbidden")), "another one")
	assert.False(t, c.New(nil))
	assert.True(t, c.New(errors.New("forbidden")), "it had passed")
}
