package kube_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

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

func TestConflictIsLoggedOnceItRecurs(t *testing.T) {
	var l kube.LogOnce
	conflict := fmt.Errorf("replace: %w", apierrors.NewConflict(schema.GroupResource{}, "worker", errors.New("changed")))
	for range 3 {
		assert.False(t, l.IsNew(conflict))
		assert.False(t, l.IsNew(nil))
	}
	assert.False(t, l.IsNew(conflict))
	assert.True(t, l.IsNew(conflict))
	assert.False(t, l.IsNew(conflict))
}
