//go:build !linux

package transport

import "time"

func suspended() time.Duration { return 0 }
