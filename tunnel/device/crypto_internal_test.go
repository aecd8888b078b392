package device

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

func TestKeysAreForgottenWhenADeviceIsRead(t *testing.T) {
	private, preshared, public := wgtypes.Key{1}, wgtypes.Key{2}, wgtypes.Key{3}
	dev := &wgtypes.Device{PrivateKey: private, PublicKey: public, Peers: []wgtypes.Peer{{PublicKey: public, PresharedKey: preshared}}}
	assert.True(t, forgetSecrets(dev))
	printed := fmt.Sprintf("%v %+v %#v %v", dev, dev, dev, dev.Peers)
	for _, key := range []wgtypes.Key{private, preshared} {
		assert.NotContains(t, printed, key.String())
		assert.NotContains(t, printed, fmt.Sprintf("%#v", [32]byte(key))[len("[32]uint8"):])
	}
	assert.Contains(t, printed, public.String())
	assert.False(t, forgetSecrets(dev), "it is gone")
}
