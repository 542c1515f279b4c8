package worker

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/engine/kernel"
)

// AddFlags adds the flags of the engine. The options have their values once the
// flags are parsed.
func (o *EngineOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Listen, "data-listen", "127.0.0.1:0", "host:port where other workers fetch weights and KV cache and hand steps on, in runs that compute tokens")
	fs.StringVar(&o.Advertise, "data-advertise", "", "host or host:port under which other workers reach --data-listen (default: the same)")
	fs.Var((*gibibytes)(&o.Memory), "memory-gib", "most memory of a node for weights and KV cache; 0 is no bound")
	fs.IntVar(&o.Kernels.Threads, "threads", 0, "threads that compute for a node (default: one for each processor)")
	fs.Var((*level)(&o.Kernels.Level), "kernels", "instructions to compute with: "+levelNames())
	fs.DurationVar((*time.Duration)(&o.Kernels.Wait), "spin", 0, "how long a thread looks for work before it sleeps; good where each thread has a processor of its own")
	fs.StringVar(&o.Models, "models", "", "folder of models that a run names by a relative path (default: the working directory)")
}

// gibibytes is a flag for bytes.
type gibibytes int64

// String implements pflag.Value.
func (g *gibibytes) String() string { return fmt.Sprintf("%g", float64(*g)/(1<<30)) }

// Type implements pflag.Value.
func (g *gibibytes) Type() string { return "float" }

// Set implements pflag.Value.
func (g *gibibytes) Set(text string) error {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= 1<<20) {
		return fmt.Errorf("%q is no size in GiB: allowed are numbers from 0 to %d", text, 1<<20)
	}
	*g = gibibytes(v * (1 << 30))
	return nil
}

// level is a flag for the kernels.
type level kernel.Level

// String implements pflag.Value.
func (l *level) String() string { return kernel.Level(*l).String() }

// Type implements pflag.Value.
func (l *level) Type() string { return "string" }

// Set implements pflag.Value.
func (l *level) Set(text string) error {
	for _, x := range append([]kernel.Level{kernel.Best}, kernel.Levels()...) {
		if x.String() == text {
			*l = level(x)
			return nil
		}
	}
	return fmt.Errorf("kernels %q: this machine has %s", text, levelNames())
}

func levelNames() string {
	names := []string{kernel.Best.String()}
	for _, x := range kernel.Levels() {
		names = append(names, x.String())
	}
	return strings.Join(names, ", ")
}
