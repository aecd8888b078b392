package api_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshway/meshway/agent/api"
	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/agent/rpc"
	"github.com/meshway/meshway/consensus/catalog"
	"github.com/meshway/meshway/consensus/consensustest"
)

// refusal returns the code of Connect and that of the refusal of an error.
func refusal(t testing.TB, err error) (connect.Code, *catalog.Refusal) {
	t.Helper()
	var r *catalog.Refusal
	require.ErrorAs(t, rpc.FromConnect(err), &r)
	assert.NotEmpty(t, r.Remedy)
	return connect.CodeOf(err), r
}

func TestListAnswersInEachReadModeWithIndexAndAge(t *testing.T) {
	t.Parallel()
	c := consensustest.New(t, 3, consensustest.Options{})
	key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
	for i, m := range c.Members {
		d := serve(t, m, nil)
		index := write(t, c.Members[0], key.Set(fmt.Sprint(i)))
		for _, mode := range []string{"", "lease", "consistent"} {
			r, err := d.catalog().List(t.Context(), connect.NewRequest(&apipb.ListRequest{Read: mode}))
			require.NoError(t, err)
			require.Len(t, r.Msg.GetItems(), 1)
			assert.Equal(t, fmt.Sprint(i), r.Msg.GetItems()[0].GetService().GetLabels()["value"])
			assert.Equal(t, index, r.Msg.GetItems()[0].GetModifiedIndex())
			assert.GreaterOrEqual(t, r.Msg.GetFreshness().GetIndex(), index)
			assert.NotEmpty(t, r.Msg.GetFreshness().GetLeader())
			assert.NotNil(t, r.Msg.GetFreshness().GetAge())
		}
	}
	d := serve(t, c.Members[1], nil)
	c.Network.Isolate(c.Members[1].ID)
	r, err := d.catalog().List(t.Context(), connect.NewRequest(&apipb.ListRequest{Read: "stale"}))
	require.NoError(t, err)
	assert.Len(t, r.Msg.GetItems(), 1, "the local copy needs no other member")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = d.catalog().List(ctx, connect.NewRequest(&apipb.ListRequest{Read: "consistent"}))
	require.Error(t, err)
}

func TestProgramsUseJSONOverHTTP(t *testing.T) {
	t.Parallel()
	c := consensustest.New(t, 1, consensustest.Options{})
	d := serve(t, c.Members[0], nil)
	for _, name := range []string{"web", "api"} {
		write(t, c.Members[0], consensustest.Key{Owner: c.Members[0].ID, Name: name}.Set("1"))
	}
	status, answer := d.post("List", `{"name":"web","labels":"value=1"}`)
	require.Equal(t, http.StatusOK, status)
	items := answer["items"].([]any)
	require.Len(t, items, 1)
	service := items[0].(map[string]any)["service"].(map[string]any)
	assert.Equal(t, "web", service["name"])
	assert.Equal(t, "10.0.0.1", service["address"])

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		`http://meshd/meshway.catalog.v1.Catalog/Get?connect=v1&encoding=json&message={"namespace":"test","name":"api","instance":"one"}`, nil)
	require.NoError(t, err)
	status, answer = d.do(request)
	require.Equal(t, http.StatusOK, status, answer)
	assert.NotNil(t, answer["item"])

	for body, want := range map[string]struct {
		status      int
		code, field string
	}{
		`{}`:                                {http.StatusBadRequest, api.CodeInvalidArgument, "name"},
		`{"name":"none"}`:                   {http.StatusNotFound, api.CodeUnknownService, "name"},
		`{"name":"web","read":"sometimes"}`: {http.StatusBadRequest, api.CodeInvalidArgument, "read"},
	} {
		status, answer := d.post("Get", body)
		assert.Equal(t, want.status, status, body)
		detail := answer["details"].([]any)[0].(map[string]any)["debug"].(map[string]any)
		assert.Equal(t, want.code, detail["code"], body)
		assert.Equal(t, want.field, detail["field"], body)
		assert.NotEmpty(t, detail["remedy"], body)
	}
	status, _ = d.post("List", `{"nme":"web"}`)
	assert.Equal(t, http.StatusBadRequest, status, "an unknown field")
}

func TestListWaitsForAChangeOfWhatItSelects(t *testing.T) {
	t.Parallel()
	c := consensustest.New(t, 1, consensustest.Options{})
	ended := make(chan struct{})
	d := serve(t, c.Members[0], ended)
	key := consensustest.Key{Owner: c.Members[0].ID, Name: "web"}
	other := consensustest.Key{Owner: c.Members[0].ID, Name: "other"}
	index := write(t, c.Members[0], key.Set("1"))

	answered := make(chan map[string]any, 1)
	go func() {
		_, answer := d.post("List", fmt.Sprintf(`{"name":"web","wait_index":%d}`, index))
		answered <- answer
	}()
	for i := range 10 {
		write(t, c.Members[0], other.Set(fmt.Sprint(i)))
	}
	select {
	case answer := <-answered:
		require.Fail(t, "a change of another service ends the wait", "%v", answer)
	default:
	}
	write(t, c.Members[0], remove(key))
	assert.Nil(t, (<-answered)["items"], "a deletion is a change")

	status, answer := d.post("List", `{"name":"other","wait_index":1}`)
	require.Equal(t, http.StatusOK, status)
	assert.Len(t, answer["items"], 1, "it has changed before the call")
	_, answer = d.post("List", `{"name":"web","wait_index":1000000,"wait":"0.05s"}`)
	assert.NotNil(t, answer["freshness"], "the wait has elapsed")
	status, _ = d.post("List", `{"wait_index":1,"wait":"1h"}`)
	assert.Equal(t, http.StatusBadRequest, status)
	go func() {
		_, answer := d.post("List", `{"name":"web","wait_index":1000000}`)
		answered <- answer
	}()
	close(ended)
	assert.Equal(t, "unavailable", (<-answered)["code"])
}
