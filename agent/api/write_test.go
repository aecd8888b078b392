package api_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/meshway/meshway/agent/api"
	"github.com/meshway/meshway/agent/api/apipb"
	"github.com/meshway/meshway/consensus/catalog/catalogpb"
	"github.com/meshway/meshway/consensus/consensustest"
)

func registration(address string) *apipb.RegisterRequest {
	return &apipb.RegisterRequest{Service: &catalogpb.Service{
		Name: "web", Instance: "a", Address: address, Ports: []*catalogpb.Port{{Protocol: "tcp", Number: 80}},
	}}
}

func (d *door) register(r *apipb.RegisterRequest) (*apipb.RegisterResponse, error) {
	response, err := d.catalog().Register(d.t.Context(), connect.NewRequest(r))
	if err != nil {
		return nil, err
	}
	return response.Msg, nil
}

func TestAWriteIsDoneOnlyIfTheInstanceIsUnchanged(t *testing.T) {
	t.Parallel()
	c := consensustest.New(t, 3, consensustest.Options{})
	d := serve(t, c.Members[1], nil)
	r := registration("10.1.0.1")
	r.IfIndex = proto.Uint64(0)
	created, err := d.register(r)
	require.NoError(t, err)
	got, err := d.catalog().Get(t.Context(), connect.NewRequest(&apipb.GetRequest{Name: "web", Instance: "a"}))
	require.NoError(t, err)
	assert.Equal(t, created.GetIndex(), got.Msg.GetItem().GetModifiedIndex())

	again, err := d.register(registration("10.1.0.1"))
	require.NoError(t, err)
	assert.Equal(t, created.GetIndex(), again.GetIndex(), "it changed nothing")

	changed, err := d.register(registration("10.1.0.2"))
	require.NoError(t, err)
	for _, expected := range []uint64{0, created.GetIndex(), changed.GetIndex() + 1} {
		r := registration("10.1.0.3")
		r.IfIndex = &expected
		_, err = d.register(r)
		code, refused := refusal(t, err)
		assert.Equal(t, connect.CodeAborted, code)
		assert.Equal(t, api.CodeConflict, refused.Code)
		var e *connect.Error
		require.ErrorAs(t, err, &e)
		detail, err := e.Details()[1].Value()
		require.NoError(t, err)
		assert.Equal(t, changed.GetIndex(), detail.(*apipb.Conflict).GetIndex())
	}
	_, err = d.catalog().Deregister(t.Context(), connect.NewRequest(&apipb.DeregisterRequest{
		Name: "web", Instance: "a", IfIndex: proto.Uint64(created.GetIndex()),
	}))
	assert.Equal(t, connect.CodeAborted, connect.CodeOf(err))
	removed, err := d.catalog().Deregister(t.Context(), connect.NewRequest(&apipb.DeregisterRequest{
		Name: "web", Instance: "a", IfIndex: proto.Uint64(changed.GetIndex()),
	}))
	require.NoError(t, err)
	assert.Equal(t, uint32(1), removed.Msg.GetRemoved())
}

func TestARepeatedRequestGetsTheResultOfTheFirst(t *testing.T) {
	t.Parallel()
	c := consensustest.New(t, 1, consensustest.Options{})
	d := serve(t, c.Members[0], nil)
	r := registration("10.0.0.1")
	r.IfIndex, r.RequestId = proto.Uint64(0), "one"
	var all sync.WaitGroup
	results := make([]*apipb.RegisterResponse, 10)
	for i := range results {
		all.Go(func() {
			var err error
			results[i], err = d.register(proto.CloneOf(r))
			assert.NoError(t, err)
		})
	}
	all.Wait()
	for _, result := range results {
		assert.True(t, proto.Equal(results[0], result), "%v", result)
	}
	other := registration("10.0.0.2")
	other.RequestId = "one"
	_, err := d.register(other)
	_, refused := refusal(t, err)
	assert.Equal(t, api.CodeRequestReused, refused.Code)
	r.RequestId = "two"
	_, err = d.register(r)
	assert.Equal(t, connect.CodeAborted, connect.CodeOf(err), "another request is done")
}

func TestAFailedRequestIsDoneAgain(t *testing.T) {
	t.Parallel()
	c := consensustest.New(t, 1, consensustest.Options{})
	d := serve(t, c.Members[0], nil)
	r := registration("10.0.0.1")
	r.RequestId = "one"
	c.Members[0].Stop()
	_, err := d.register(r)
	require.Error(t, err)
	c.Members[0].Restart()
	d = serve(t, c.Members[0], nil)
	_, err = d.register(r)
	require.NoError(t, err)
}

func TestWritesAreRefusedWithFieldAndRemedy(t *testing.T) {
	t.Parallel()
	c := consensustest.New(t, 1, consensustest.Options{})
	d := serve(t, c.Members[0], nil)
	for body, want := range map[string]struct {
		status      int
		code, field string
	}{
		`{}`: {http.StatusBadRequest, api.CodeInvalidArgument, "service.name"},
		`{"service":{"name":"web","address":"x"}}`:                         {http.StatusBadRequest, api.CodeInvalidArgument, "service.address"},
		`{"service":{"name":"web","address":"192.0.2.1"}}`:                 {http.StatusBadRequest, "address-foreign", "services[0].address"},
		`{"service":{"name":"web","address":"10.0.0.1"},"if_index":"7"}`:   {http.StatusConflict, api.CodeConflict, "if_index"},
		fmt.Sprintf(`{"service":{"name":"web"},"request_id":"%0200d"}`, 1): {http.StatusBadRequest, api.CodeInvalidArgument, "request_id"},
		`{"service":{"name":"Web!","address":"10.0.0.1"}}`:                 {http.StatusBadRequest, "name-invalid", "services[0].name"},
	} {
		status, answer := d.post("Register", body)
		assert.Equal(t, want.status, status, "%s: %v", body, answer)
		detail := answer["details"].([]any)[0].(map[string]any)["debug"].(map[string]any)
		assert.Equal(t, want.code, detail["code"], body)
		assert.Equal(t, want.field, detail["field"], body)
		assert.NotEmpty(t, detail["remedy"], body)
	}
	status, answer := d.post("Register", `{"service":{"name":"web","address":"10.0.0.1","ports":[{"protocol":"tcp","number":80}]}}`)
	require.Equal(t, http.StatusOK, status, answer)
	assert.Equal(t, "a-10-0-0-1", answer["instance"])
	status, _ = d.post("Deregister", `{"name":"web","if_index":"1"}`)
	assert.Equal(t, http.StatusBadRequest, status)
	_, answer = d.post("Deregister", `{"name":"web"}`)
	assert.InDelta(t, 1, answer["removed"], 0)
}
