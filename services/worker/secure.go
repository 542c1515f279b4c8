package worker

import (
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/spotserve/spotserve/engine/dataplane"
	"github.com/spotserve/spotserve/platform/credential"
)

// security is what the data plane of a node is kept safe by; nil: nothing, if no
// authority is named. The files are read anew for each run.
func (o EngineOptions) security(node string) (*dataplane.Security, error) {
	if !o.Credentials.TLS() {
		return nil, nil //nolint:nilnil // no TLS is not an error
	}
	p, err := o.Credentials.Peer(node)
	if err != nil {
		return nil, err
	}
	return &dataplane.Security{Server: p.Server, Client: p.Client, Nodes: credential.CertifiedNodes}, nil
}

// checkCredentials refuses a pair of other nodes. A worker without one can take part
// in runs that compute nothing, and so can one that stands for whichever node: what
// it lacks is said when such a run starts.
func (o EngineOptions) checkCredentials(nodes []string) error {
	if o.Credentials.Cert == "" {
		return nil
	}
	for _, node := range nodes {
		if node == AllNodes {
			continue
		}
		if _, err := o.security(node); err != nil {
			return err
		}
	}
	return nil
}

// warn says what a deployment should not be without.
func (o EngineOptions) warn(log *slog.Logger) {
	switch {
	case !o.Credentials.TLS() && !isLoopback(o.listen()):
		log.Warn("the data plane listens beyond this host without TLS: whoever reaches it can read weights and caches and send steps; give --tls-ca, --tls-cert and --tls-key",
			"data_listen", o.listen())
	case o.Credentials.TLS() && o.Credentials.Cert == "":
		log.Warn("this worker has no certificate (--tls-cert, --tls-key): it takes part in no run that computes tokens")
	}
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// refused shows how many connections of the data plane came to nothing, by cause:
// all causes, so that the first one is a rise.
type refused struct{ counts *dataplane.Refusals }

var refusedDesc = prometheus.NewDesc("spotserve_worker_data_plane_refusals_total",
	"Connections of the data plane that this process refused, as a server or as a client, by cause.", []string{"cause"}, nil)

// Describe implements prometheus.Collector.
func (refused) Describe(out chan<- *prometheus.Desc) { out <- refusedDesc }

// Collect implements prometheus.Collector.
func (r refused) Collect(out chan<- prometheus.Metric) {
	counts := r.counts.Counts()
	for _, cause := range dataplane.Causes {
		out <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(counts[cause]), string(cause))
	}
}
