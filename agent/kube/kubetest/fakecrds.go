package kubetest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/mcs-api/pkg/client/clientset/versioned/scheme"
)

// fakeCRDs are the CRDs of a fake API server. Objects are stored as v1beta1, and are read
// and written in each served version with the fields of that version.
type fakeCRDs struct {
	t       testing.TB
	tracker clienttesting.ObjectTracker
	create  clienttesting.ReactionFunc // called for a created object as it is stored

	writing sync.Mutex   // serializes writes
	version atomic.Int64 // the last resource version

	mu      sync.Mutex // guards all following fields
	schemas schemas
}

func (c *fakeCRDs) install(s schemas) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.schemas = s
}

func (c *fakeCRDs) kinds(version string) map[string]map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.schemas[version]
}

// react handles a request in any version, which must be served.
func (c *fakeCRDs) react(action clienttesting.Action) (bool, runtime.Object, error) {
	version := action.GetResource().Version
	if len(c.kinds(version)) == 0 {
		return true, nil, apierrors.NewNotFound(action.GetResource().GroupResource(), "")
	}
	var err error
	switch a := action.(type) {
	case clienttesting.CreateActionImpl:
		a.Resource.Version = beta
		if a.Object, err = c.store(a.Object, version); err == nil {
			_, _, err = c.create(a)
			c.stamp(a.Object)
		}
		action = a
	case clienttesting.UpdateActionImpl:
		c.writing.Lock()
		defer c.writing.Unlock()
		a.Resource.Version = beta
		action, err = c.update(a, version)
	case clienttesting.GetActionImpl:
		a.Resource.Version = beta
		action = a
	case clienttesting.DeleteActionImpl:
		a.Resource.Version = beta
		action = a
	case clienttesting.ListActionImpl:
		a.Resource.Version, a.Kind.Version = beta, beta
		action = a
	}
	if err != nil {
		return true, nil, err
	}
	_, object, err := clienttesting.ObjectReaction(c.tracker)(action)
	if err == nil && object != nil {
		object, err = convert(object, version, keep)
	}
	return true, object, err
}

// update returns the action that carries out an update: one of an outdated version is a
// conflict, and one without a change only reads, since it causes no event.
func (c *fakeCRDs) update(a clienttesting.UpdateActionImpl, version string) (clienttesting.Action, error) {
	var err error
	if a.Object, err = c.store(a.Object, version); err != nil {
		return nil, err
	}
	have, err := c.tracker.Get(a.Resource, a.Namespace, accessor(a.Object).GetName())
	if err != nil {
		return nil, err
	}
	next := accessor(a.Object).GetResourceVersion()
	switch {
	case next != "" && next != accessor(have).GetResourceVersion():
		return nil, apierrors.NewConflict(a.Resource.GroupResource(), accessor(a.Object).GetName(), nil)
	case equality.Semantic.DeepEqual(have, a.Object):
		return clienttesting.NewGetAction(a.Resource, a.Namespace, accessor(a.Object).GetName()), nil
	}
	c.stamp(a.Object)
	return a, nil
}

// stamp gives an object a new resource version.
func (c *fakeCRDs) stamp(object runtime.Object) {
	accessor(object).SetResourceVersion(strconv.FormatInt(c.version.Add(1), 10))
}

// accessor returns the metadata of an object of the API.
func accessor(object runtime.Object) metav1.Object {
	m, err := meta.Accessor(object)
	if err != nil {
		panic(err) // not an object of the API
	}
	return m
}

// store returns the stored object for one that is written in a version.
func (c *fakeCRDs) store(object runtime.Object, version string) (runtime.Object, error) {
	return convert(object, beta, func(kind string, decoded any) (any, error) {
		kept, err := admit(decoded, c.kinds(version)[kind])
		if err != nil {
			return nil, &apierrors.StatusError{ErrStatus: metav1.Status{
				Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid, Message: err.Error(),
			}}
		}
		return kept, nil
	})
}

// watch starts at the resource version of the list, as the fake clients of Kubernetes
// do. Those of mcs-api do not, and lose the events in between.
func (c *fakeCRDs) watch(action clienttesting.Action) (bool, watch.Interface, error) {
	w, ok := action.(clienttesting.WatchActionImpl)
	if !ok {
		return false, nil, nil
	}
	resource := w.GetResource()
	version := resource.Version
	if len(c.kinds(version)) == 0 {
		return true, nil, apierrors.NewNotFound(resource.GroupResource(), "")
	}
	resource.Version = beta
	found, err := c.tracker.Watch(resource, w.GetNamespace(), w.ListOptions)
	if err != nil {
		return true, nil, err
	}
	return true, convertEvents(found, version), nil
}

// convertEvents returns the events of from with their objects in another version.
// Unlike watch.Filter it ends with a consumer that stops without draining.
func convertEvents(from watch.Interface, version string) watch.Interface {
	converted := make(chan watch.Event)
	to := watch.NewProxyWatcher(converted)
	go func() {
		defer close(converted)
		defer from.Stop()
		for {
			select {
			case <-to.StopChan():
				return
			case e, ok := <-from.ResultChan():
				if !ok {
					return
				}
				var err error
				if e.Object, err = convert(e.Object, version, keep); err != nil {
					continue
				}
				select {
				case <-to.StopChan():
					return
				case converted <- e:
				}
			}
		}
	}()
	return to
}

func keep(_ string, decoded any) (any, error) { return decoded, nil }

// convert converts an object or a list to another version by its JSON, independently of
// the conversions of the controller. change edits the decoded object.
func convert(object runtime.Object, version string, change func(kind string, decoded any) (any, error)) (runtime.Object, error) {
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		return nil, err
	}
	kind := kinds[0]
	kind.Version = version
	into, err := scheme.Scheme.New(kind)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var decoded any
	if err := json.Unmarshal(text, &decoded); err != nil {
		return nil, err
	}
	if decoded, err = change(kind.Kind, decoded); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(decoded); err != nil {
		return nil, err
	}
	return into, json.Unmarshal(text, into)
}
