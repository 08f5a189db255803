package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"time"
)

// report is everything that came out, as -json writes it.
type report struct {
	Machine  machine           `json:"machine"`
	Versions map[string]string `json:"versions"`
	Settings settings          `json:"settings"`
	Results  []*result         `json:"results"`
}

// machine describes the machine of the measurement.
type machine struct {
	Cores      int     `json:"cores"`
	MemoryGiB  float64 `json:"memory_gib"`
	Kernel     string  `json:"kernel"`
	FileSystem string  `json:"file_system"`
	Go         string  `json:"go"`
	// LoadBefore and LoadAfter are load averages: how busy the machine was with other things, and with this.
	LoadBefore float64 `json:"load_before"`
	LoadAfter  float64 `json:"load_after"`
}

// settings are how it was measured.
type settings struct {
	Rounds     int     `json:"rounds"`
	Seconds    float64 `json:"seconds"`
	WarmUp     float64 `json:"warm_up_seconds"`
	ValueBytes int     `json:"value_bytes"`
	Keys       int     `json:"keys"`
	LocalKeys  int     `json:"keys_of_local_reads"`
	Leader     bool    `json:"clients_talk_to_leader,omitempty"`
	Date       string  `json:"date"`
}

// result is one work: its samples, and their median.
type result struct {
	work
	Median sample   `json:"median"`
	Rounds []sample `json:"rounds"`
}

func newReport(ctx context.Context, o *options) *report {
	return &report{
		Machine: machine{
			Cores: runtime.NumCPU(), MemoryGiB: float64(int(memoryGiB()*10)) / 10, Kernel: kernel(), FileSystem: fileSystem(o.dir),
			Go: runtime.Version(), LoadBefore: loadAverage(),
		},
		Versions: versions(ctx, o),
		Settings: settings{
			Rounds: o.rounds, Seconds: o.window.Seconds(), WarmUp: o.warmUp.Seconds(), ValueBytes: valueBytes,
			Keys: keyCount, LocalKeys: localCount, Leader: o.leader, Date: time.Now().UTC().Format(time.DateOnly),
		},
	}
}

// versions of the products measured.
func versions(ctx context.Context, o *options) map[string]string {
	v := map[string]string{edgeholdName: edgeholdVersion(ctx, o.tree), bareName: runtime.Version(), redisName: redisVersion(ctx)}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			switch d.Path {
			case "go.etcd.io/etcd/server/v3":
				v[etcdName] = d.Version
			case "github.com/nats-io/nats-server/v2":
				v[natsName] = d.Version
			}
		}
	}
	return v
}

func (r *report) add(w work, round int, s sample) {
	i := slices.IndexFunc(r.Results, func(have *result) bool { return have.work == w })
	if i < 0 {
		i = len(r.Results)
		r.Results = append(r.Results, &result{work: w})
	}
	r.Results[i].Rounds = append(r.Results[i].Rounds, s)
}

// end makes the medians, and brings the results into the order of the tables.
func (r *report) end() {
	r.Machine.LoadAfter = loadAverage()
	for _, x := range r.Results {
		x.Median = medians(x.Rounds)
	}
	slices.SortStableFunc(r.Results, func(a, b *result) int {
		if d := place(a.work) - place(b.work); d != 0 {
			return d
		}
		return a.Clients*10 + productPlace(a.Product) - b.Clients*10 - productPlace(b.Product)
	})
}

func place(w work) int {
	return slices.Index([]string{putWork, readWork, localWork, watchWork}, w.Work)
}

func productPlace(p string) int {
	return slices.Index(allNames, p)
}

// medians of each figure by itself; the failures are counted together.
func medians(all []sample) sample {
	of := func(figure func(*sample) float64) float64 {
		values := make([]float64, 0, len(all))
		for i := range all {
			values = append(values, figure(&all[i]))
		}
		return median(values)
	}
	m := sample{
		Rate:      of(func(s *sample) float64 { return s.Rate }),
		P50:       of(func(s *sample) float64 { return s.P50 }),
		P99:       of(func(s *sample) float64 { return s.P99 }),
		ServerCPU: of(func(s *sample) float64 { return s.ServerCPU }),
		ClientCPU: of(func(s *sample) float64 { return s.ClientCPU }),
	}
	for _, s := range all {
		m.Failed += s.Failed
		if m.Failure == "" {
			m.Failure = s.Failure
		}
	}
	return m
}

// median of some values, which it sorts.
func median(v []float64) float64 {
	slices.Sort(v)
	n := len(v)
	if n%2 == 1 {
		return v[n/2]
	}
	return (v[n/2-1] + v[n/2]) / 2
}

// find returns the result of the work; nil if it was not measured.
func (r *report) find(w work) *result {
	i := slices.IndexFunc(r.Results, func(x *result) bool { return x.work == w })
	if i < 0 {
		return nil
	}
	return r.Results[i]
}

// write prints the tables and writes the JSON.
func (r *report) write(o *options) error {
	if o.json != "" {
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	if o.into != "" {
		if err := refresh(o.into, r.markdown()); err != nil {
			return err
		}
	}
	render := r.text
	if o.markdown {
		render = r.markdown
	}
	_, err := fmt.Print(render())
	return err
}
