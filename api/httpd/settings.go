package httpd

import "github.com/edgehold/edgehold/api"

var settingJSON = body{"body", "application/json", 4 << 10}

func hasSettings(h *handler) bool { return h.HasSettings() }

// getSettings lists all settings.
func getSettings(x *exchange) error {
	all, err := x.Store.Settings(x.Ctx)
	if err != nil {
		return err
	}
	return x.replyJSON(settingsBody{all})
}

// settingsBody is all settings.
type settingsBody struct {
	Settings []api.Setting `json:"settings"`
}

// getSetting answers with one setting.
func getSetting(x *exchange) error {
	s, err := x.Store.Setting(x.Ctx, x.args["name"])
	if err != nil {
		return err
	}
	return x.replyJSON(s)
}

// settingBody gives a setting a value.
type settingBody struct {
	Value *string `json:"value"`
	Force bool    `json:"force"`
}

// putSetting does what `edgehold cluster set` asks.
func putSetting(x *exchange) error {
	raw, err := x.readBody()
	if err != nil {
		return err
	}
	var b settingBody
	if err := decodeStrictly(raw, &b); err != nil {
		return err
	}
	if b.Value == nil || *b.Value == "" {
		return api.Errorf(api.CodeInvalid, "give the value of the setting as a string; DELETE gives it its default again")
	}
	x.writes = true
	s, err := x.Store.SetSetting(x.Ctx, x.args["name"], *b.Value, b.Force)
	if err != nil {
		return err
	}
	return x.replyJSON(s)
}

// deleteSetting does what `edgehold cluster unset` asks.
func deleteSetting(x *exchange) error {
	x.writes = true
	s, err := x.Store.UnsetSetting(x.Ctx, x.args["name"])
	if err != nil {
		return err
	}
	return x.replyJSON(s)
}

// getLevel answers with the level of the cluster.
func getLevel(x *exchange) error {
	l, err := x.Store.ClusterLevel(x.Ctx)
	if err != nil {
		return err
	}
	return x.replyJSON(l)
}
