// Package build identifies the running build of Meshway.
package build

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/meshway/meshway/consensus/catalog"
)

// controlProtocol is the version of the control protocol: that of the protobuf package
// meshway.control.v1.
const controlProtocol = "v1"

// Info is what the Go toolchain recorded of the build, and what it speaks with others.
type Info struct {
	Version         string    `json:"version"`          // module version, or "devel"
	Commit          string    `json:"commit,omitempty"` // VCS revision, "+dirty" if the tree had changes
	Time            time.Time `json:"time,omitzero"`    // of the revision; zero: not recorded
	Go              string    `json:"go"`
	FeatureLevel    uint32    `json:"featureLevel,omitempty"`    // of the catalog; 0: not stated
	ControlProtocol string    `json:"controlProtocol,omitempty"` // empty: not stated
}

// String returns the version, followed by all else that is known in parentheses.
func (i Info) String() string {
	var origin, spoken []string
	if i.Commit != "" {
		origin = append(origin, "commit "+i.Commit)
	}
	origin = append(origin, i.Go)
	if i.FeatureLevel != 0 {
		spoken = append(spoken, fmt.Sprintf("feature level %d", i.FeatureLevel))
	}
	if i.ControlProtocol != "" {
		spoken = append(spoken, "control protocol "+i.ControlProtocol)
	}
	return fmt.Sprintf("%s (%s)", i.Version, strings.Join(append(origin, spoken...), ", "))
}

// Current returns the running build.
func Current() Info {
	info := Info{Version: "devel", Go: runtime.Version(), FeatureLevel: catalog.Level, ControlProtocol: controlProtocol}
	recorded, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	if v := recorded.Main.Version; v != "" && v != "(devel)" {
		info.Version = v
	}
	dirty := ""
	for _, setting := range recorded.Settings {
		switch setting.Key {
		case "vcs.revision":
			info.Commit = setting.Value
		case "vcs.time":
			info.Time, _ = time.Parse(time.RFC3339, setting.Value) // zero if it is not one
		case "vcs.modified":
			if setting.Value == "true" {
				dirty = "+dirty"
			}
		}
	}
	if info.Commit != "" {
		info.Commit += dirty
	}
	return info
}
