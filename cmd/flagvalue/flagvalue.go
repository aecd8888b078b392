// Package flagvalue describes what is wrong with the value of a flag, in the words of both
// programs: pflag passes on the errors of package strconv.
package flagvalue

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// Error returns the flag and the fault of its value if err is about one, such as
// "--limit" and `invalid value "x": must be a whole number from 0 to 4294967295`.
func Error(err error) (flag, message string, ok bool) {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return "", "", false
	}
	reason := "must be " + form(invalid.GetFlag().Value.Type())
	if form(invalid.GetFlag().Value.Type()) == "" { // a type of Meshway, which has its own text
		reason = invalid.Unwrap().Error()
	}
	return "--" + invalid.GetFlag().Name, fmt.Sprintf("invalid value %q: %s", invalid.GetValue(), reason), true
}

// form describes the values of a type of pflag. It is empty for a type that pflag does
// not have, and for one of any text.
func form(name string) string {
	switch name {
	case "bool":
		return "true or false"
	case "duration":
		return "a time such as 30s or 5m"
	case "float32", "float64":
		return "a number such as 0.5"
	case "ip":
		return "an IP address"
	case "ipNet":
		return "a prefix such as 10.1.0.0/16"
	case "stringSlice":
		return "a list of words, separated by commas"
	}
	if size, found := strings.CutPrefix(name, "uint"); found {
		if bits, valid := width(size); valid {
			return fmt.Sprintf("a whole number from 0 to %d", uint64(math.MaxUint64)>>(64-bits))
		}
	}
	if size, found := strings.CutPrefix(name, "int"); found {
		if bits, valid := width(size); valid {
			greatest := int64(math.MaxInt64) >> (64 - bits)
			return fmt.Sprintf("a whole number from %d to %d", -greatest-1, greatest)
		}
	}
	return ""
}

// width returns the bits of an integer type from the end of its name. Without a number
// it has 64, also on the machines for which Meshway is built.
func width(size string) (int, bool) {
	if size == "" {
		return strconv.IntSize, true
	}
	bits, err := strconv.Atoi(size)
	return bits, err == nil
}
