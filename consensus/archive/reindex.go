package archive

import (
	"bytes"
	"fmt"

	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/catalog/replica"
)

// Reindex gives a catalog another index, by applying an entry without commands, and
// encodes it.
func Reindex(state *replica.State, index uint64) ([]byte, error) {
	nothing, err := catalog.Marshal()
	if err != nil {
		return nil, fmt.Errorf("reindex the catalog: %w", err)
	}
	if _, err := state.Apply(index, nothing); err != nil {
		return nil, fmt.Errorf("reindex the catalog: %w", err)
	}
	var out bytes.Buffer
	if err := state.View().Encode(&out); err != nil {
		return nil, fmt.Errorf("reindex the catalog: %w", err)
	}
	return out.Bytes(), nil
}
