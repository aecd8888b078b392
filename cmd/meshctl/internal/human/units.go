package human

import (
	"fmt"
	"strconv"
	"time"
)

// Duration formats a length of time in one unit, rounded down: "0.4 ms",
// "12 ms", "3 s", "5 min", "2 h", "4 d". Negative lengths are shown as 0.
func Duration(d time.Duration) string {
	switch {
	case d <= 0:
		return "0 s"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return whole(d, time.Millisecond, "ms")
	case d < time.Minute:
		return whole(d, time.Second, "s")
	case d < time.Hour:
		return whole(d, time.Minute, "min")
	case d < 48*time.Hour:
		return whole(d, time.Hour, "h")
	default:
		return whole(d, 24*time.Hour, "d")
	}
}

func whole(d, unit time.Duration, name string) string {
	return strconv.FormatInt(int64(d/unit), 10) + " " + name
}

// Ago formats the time from t to now, such as "3 s ago"; the zero time is "never".
func Ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return Duration(now.Sub(t)) + " ago"
}

// Bytes formats a size in powers of 1024: "512 B", "1.5 KiB", "3.0 GiB".
func Bytes(n uint64) string {
	const unit = 1024
	if n < unit {
		return strconv.FormatUint(n, 10) + " B"
	}
	value, prefix := float64(n), 0
	for value >= unit && prefix < 6 {
		value /= unit
		prefix++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTPE"[prefix-1])
}

// Percent formats a fraction from 0 to 1. A small fraction is "<1 %", never "0 %".
func Percent(fraction float64) string {
	switch {
	case fraction <= 0:
		return "0 %"
	case fraction < 0.01:
		return "<1 %"
	default:
		return fmt.Sprintf("%.0f %%", fraction*100)
	}
}

// Count formats a number with its noun: "1 error", "2 errors".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// Expiry describes the time at, relative to now.
func Expiry(now, at time.Time) string {
	if at.After(now) {
		return "in " + Duration(at.Sub(now))
	}
	return Ago(now, at)
}
