//go:build linux

package catalogbench

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// etcdConfig configures the process of an etcd server.
type etcdConfig struct {
	Number         int
	Dir            string
	Client, Peer   string // host:port to listen on
	Advertise      string // where the other servers reach it
	Cluster        string
	Tick, Election uint // ms
	CountSyncs     bool
}

// syncsFile is where a server writes the number of its syncs on SIGUSR1.
func (c etcdConfig) syncsFile() string { return filepath.Join(c.Dir, "syncs") }

func runEtcd(text string) error {
	var c etcdConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return fmt.Errorf("decode the configuration of etcd: %w", err)
	}
	if c.CountSyncs {
		syncs, err := countSyncs()
		if err != nil {
			return err
		}
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, unix.SIGUSR1)
		go func() {
			for range asked {
				// By rename, so that the reader finds all of it.
				temporary := c.syncsFile() + ".new"
				if err := os.WriteFile(temporary, []byte(strconv.FormatUint(syncs.calls.Load(), 10)), 0o600); err == nil {
					_ = os.Rename(temporary, c.syncsFile()) // the reader waits for the file
				}
			}
		}()
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = nameOf(c.Number), filepath.Join(c.Dir, "data")
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = urls(c.Client), urls(c.Client)
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = urls(c.Peer), urls(c.Advertise)
	cfg.InitialCluster = c.Cluster
	cfg.ClientAutoTLS, cfg.PeerAutoTLS = true, true
	cfg.TickMs, cfg.ElectionMs = c.Tick, c.Election
	cfg.LogLevel = "error"
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return fmt.Errorf("start etcd: %w", err)
	}
	return <-server.Err()
}

func urls(at string) []url.URL { return []url.URL{{Scheme: "https", Host: at}} }

// etcd is a cluster of three processes.
type etcd struct {
	cfgs    [members]etcdConfig
	procs   [members]*process
	clients [members]*clientv3.Client // each of one server
	proxies []*proxy
}

// newEtcd starts a cluster in which the first server leads.
func newEtcd(ctx context.Context, dir string, delay time.Duration, countSyncs bool) (*etcd, error) {
	e := &etcd{}
	if err := e.start(ctx, dir, delay, countSyncs); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

func (e *etcd) start(ctx context.Context, dir string, delay time.Duration, countSyncs bool) error {
	var cluster []string
	for i := range members {
		c := etcdConfig{Number: i, Dir: filepath.Join(dir, "etcd"+strconv.Itoa(i)), Tick: 100, Election: 1000, CountSyncs: countSyncs}
		if err := os.MkdirAll(c.Dir, 0o700); err != nil {
			return fmt.Errorf("create directory: %w", err)
		}
		for _, at := range []*string{&c.Client, &c.Peer} {
			port, err := freePort()
			if err != nil {
				return err
			}
			*at = port.String()
		}
		c.Advertise = c.Peer
		if delay > 0 {
			c.Tick, c.Election = 500, 5000
			p, err := newProxy(c.Peer, delay)
			if err != nil {
				return err
			}
			e.proxies = append(e.proxies, p)
			c.Advertise = p.addr().String()
		}
		cluster = append(cluster, nameOf(i)+"=https://"+c.Advertise)
		e.cfgs[i] = c
	}
	for i := range members {
		e.cfgs[i].Cluster = strings.Join(cluster, ",")
		var err error
		if e.procs[i], err = spawn(ctx, roleEtcd, e.cfgs[i].Dir, e.cfgs[i]); err != nil {
			return err
		}
		e.clients[i], err = clientv3.New(clientv3.Config{
			Endpoints: []string{"https://" + e.cfgs[i].Client}, Logger: zap.NewNop(),
			TLS: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}, //nolint:gosec // the certificates are made by the servers
		})
		if err != nil {
			return fmt.Errorf("connect to etcd: %w", err)
		}
	}
	return e.settle(ctx)
}

// settle waits until the servers have a leader, and makes the first one the leader.
func (e *etcd) settle(ctx context.Context) error {
	return await(ctx, 200*time.Millisecond, func() (bool, error) {
		for _, p := range e.procs {
			if err := p.failed(); err != nil {
				return false, err
			}
		}
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		first, err := e.clients[leading].Status(short, e.cfgs[leading].Client)
		if err != nil || first.Leader == 0 {
			return false, nil // not ready
		}
		if first.Leader == first.Header.MemberId {
			return true, nil
		}
		for i, c := range e.clients {
			if s, err := c.Status(short, e.cfgs[i].Client); err == nil && s.Leader == s.Header.MemberId {
				_, _ = c.MoveLeader(short, first.Header.MemberId) // checked by the next turn
			}
		}
		return false, nil
	})
}

// write returns an operation that puts one value through a server.
func (e *etcd) write(server int) operation {
	return func(ctx context.Context, _, n int) error {
		key, value, err := pair(n, stamp())
		if err == nil {
			_, err = e.clients[server].Put(ctx, key, value)
		}
		return err
	}
}

// pair returns the same registration as a member writes.
func pair(n int, value string) (key, text string, err error) {
	s := serviceOf(leading, n, value)
	encoded, err := proto.Marshal(s.Proto())
	return s.Namespace + "/" + s.Name, string(encoded), err
}

// transaction is the number of puts in one transaction; etcd allows 128.
const transaction = 100

// batch puts several values in one transaction.
func (e *etcd) batch(ctx context.Context, _, n int) error {
	var puts []clientv3.Op
	value := stamp()
	for i := range transaction {
		key, text, err := pair(n*transaction+i, value)
		if err != nil {
			return err
		}
		puts = append(puts, clientv3.OpPut(key, text))
	}
	_, err := e.clients[leading].Txn(ctx).Then(puts...).Commit()
	return err
}

// read makes a linearizable read of one value at the leader.
func (e *etcd) read(ctx context.Context, _, n int) error {
	s := serviceOf(leading, n, "")
	_, err := e.clients[leading].Get(ctx, s.Namespace+"/"+s.Name)
	return err
}

// syncs returns the number of syncs of all servers.
func (e *etcd) syncs(ctx context.Context) (sum float64, err error) {
	for i, p := range e.procs {
		_ = os.Remove(e.cfgs[i].syncsFile()) // it may be the first time
		if err := p.cmd.Process.Signal(unix.SIGUSR1); err != nil {
			return 0, fmt.Errorf("count syncs: %w", err)
		}
		var count float64
		err := await(ctx, time.Millisecond, func() (bool, error) {
			text, err := os.ReadFile(e.cfgs[i].syncsFile())
			if err != nil {
				return false, nil // not yet
			}
			count, err = strconv.ParseFloat(string(text), 64)
			return true, err
		})
		if err != nil {
			return 0, err
		}
		sum += count
	}
	return sum, nil
}

// close ends the processes.
func (e *etcd) close() error {
	var errs []error
	for i, p := range e.procs {
		if e.clients[i] != nil {
			errs = append(errs, e.clients[i].Close())
		}
		if p != nil {
			p.kill()
		}
	}
	for _, p := range e.proxies {
		p.close()
	}
	return errors.Join(errs...)
}
