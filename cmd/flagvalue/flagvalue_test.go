package flagvalue_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/cmd/flagvalue"
)

// mode is a type of Meshway, as that of the flag --read.
type mode struct{}

func (mode) String() string   { return "" }
func (mode) Type() string     { return "stale|lease" }
func (mode) Set(string) error { return errors.New("must be one of stale, lease") }

func TestEachTypeOfFlagNamesItsValuesInAnError(t *testing.T) {
	for name, test := range map[string]struct {
		add   func(*pflag.FlagSet)
		value string
		want  string
	}{
		"bool":     {func(f *pflag.FlagSet) { f.Bool("x", false, "") }, "maybe", "must be true or false"},
		"duration": {func(f *pflag.FlagSet) { f.Duration("x", time.Second, "") }, "5", "must be a time such as 30s or 5m"},
		"float":    {func(f *pflag.FlagSet) { f.Float64("x", 0, "") }, "half", "must be a number such as 0.5"},
		"uint8":    {func(f *pflag.FlagSet) { f.Uint8("x", 0, "") }, "256", "must be a whole number from 0 to 255"},
		"uint16":   {func(f *pflag.FlagSet) { f.Uint16("x", 0, "") }, "65536", "must be a whole number from 0 to 65535"},
		"uint32":   {func(f *pflag.FlagSet) { f.Uint32("x", 0, "") }, "-1", "must be a whole number from 0 to 4294967295"},
		"uint64":   {func(f *pflag.FlagSet) { f.Uint64("x", 0, "") }, "1.5", "must be a whole number from 0 to 18446744073709551615"},
		"uint":     {func(f *pflag.FlagSet) { f.Uint("x", 0, "") }, "ten", "must be a whole number from 0 to 18446744073709551615"},
		"int8":     {func(f *pflag.FlagSet) { f.Int8("x", 0, "") }, "128", "must be a whole number from -128 to 127"},
		"int32":    {func(f *pflag.FlagSet) { f.Int32("x", 0, "") }, "", "must be a whole number from -2147483648 to 2147483647"},
		"int":      {func(f *pflag.FlagSet) { f.Int("x", 0, "") }, "ten", "must be a whole number from -9223372036854775808 to 9223372036854775807"},
		"address":  {func(f *pflag.FlagSet) { f.IP("x", net.IP{}, "") }, "host", "must be an IP address"},
		"prefix":   {func(f *pflag.FlagSet) { f.IPNet("x", net.IPNet{}, "") }, "10.1.0.0", "must be a prefix such as 10.1.0.0/16"},
		"words":    {func(f *pflag.FlagSet) { f.StringSlice("x", nil, "") }, `"a`, "must be a list of words, separated by commas"},
		"ours":     {func(f *pflag.FlagSet) { f.Var(mode{}, "x", "") }, "newest", "must be one of stale, lease"},
	} {
		t.Run(name, func(t *testing.T) {
			flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
			flags.SetOutput(io.Discard)
			test.add(flags)
			flag, message, ok := flagvalue.Error(flags.Parse([]string{"--x=" + test.value}))
			require.True(t, ok)
			assert.Equal(t, "--x", flag)
			assert.Contains(t, message, test.want)
			assert.NotRegexp(t, "strconv|parse|syntax", message)
		})
	}
}

func TestOtherErrorsOfFlagsAreLeftAlone(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.Bool("x", false, "")
	for _, err := range []error{nil, errors.New("other"), flags.Parse([]string{"--y"})} {
		_, _, ok := flagvalue.Error(err)
		assert.False(t, ok)
	}
}
