package mcs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshway/meshway/consensus/catalog"
)

// Otherwise such an export would be written in each pass, and never be ready.
func TestExportThatTheLeaderMadeYoungerIsWritten(t *testing.T) {
	own := catalog.Export{CreatedAt: time.Unix(1, 0)}
	younger, older := own, own
	younger.CreatedAt = time.Unix(2, 0)
	older.CreatedAt = time.Unix(0, 0)
	assert.True(t, holds(younger, own))
	assert.False(t, holds(older, own), "the ServiceExport was created again")
	younger.Mirror = true
	assert.False(t, holds(younger, own))
}
