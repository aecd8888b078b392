package config

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryKeyIsInTheReference(t *testing.T) {
	var found faults
	var raw rawConfig
	decoder{file: "reference.yaml", faults: &found}.document([]byte(Reference()), &raw)
	require.NoError(t, found.err())
	requirePresent(t, reflect.ValueOf(raw), "")
}

// requirePresent fails for each key that is absent.
func requirePresent(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		for _, key := range keysOf(v.Type()) {
			field, _ := fieldOf(v, key)
			requirePresent(t, field, join(path, key))
		}
	case reflect.Slice:
		assert.False(t, v.IsNil(), "%s is not in reference.yaml", path)
		for i := range v.Len() {
			if v.Type().Elem().Kind() == reflect.Struct {
				requirePresent(t, v.Index(i), path)
			}
		}
	default:
		assert.False(t, v.IsNil(), "%s is not in reference.yaml", path)
	}
}

func TestEveryKeyHasACommentAboveIt(t *testing.T) {
	lines := strings.Split(Reference(), "\n")
	for i, line := range lines {
		key := strings.TrimSpace(line)
		if key == "" || strings.HasPrefix(key, "#") {
			continue
		}
		require.Positive(t, i)
		assert.True(t, strings.HasPrefix(strings.TrimSpace(lines[i-1]), "#"), "line %d: %s", i+1, key)
	}
}
