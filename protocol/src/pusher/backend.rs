//! What an application's own backend does when it is asked whether a client may have what it wants: it
//! says yes to everybody, which is what tests want.

use serde::Serialize;
use serde_json::value::RawValue;

use super::api::Refused;
use super::name::{Access, Kind, is_channel, is_socket_id, is_user};
use super::{App, auth};
use crate::json;

/// The fields of a request.
#[derive(Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The fields of a form.
    pub fn form(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// The fields of a JSON object: a string is what it says, anything else its JSON text.
    ///
    /// # Errors
    /// If it is none.
    pub fn json(body: &str) -> Result<Self, Refused> {
        let is_object = json::read(body).ok().flatten().is_some();
        if !is_object {
            return Err(Refused::new(400, "the body is no JSON object"));
        }
        let fields = json::fields(body).into_iter().map(|(name, value)| {
            let text =
                json::parse::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned());
            (name.into_owned(), text)
        });
        Ok(Self(fields.collect()))
    }

    /// The first field of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    fn socket_id(&self) -> Result<&str, Refused> {
        let id = self.get("socket_id").filter(|id| is_socket_id(id));
        id.ok_or_else(|| Refused::new(422, "`socket_id` must be two numbers with a dot between"))
    }

    /// The user that is asked for; else the connection itself is one.
    fn user_id(&self) -> Result<&str, Refused> {
        match self.get("user_id") {
            None => self.socket_id(),
            Some(id) if is_user(id) => Ok(id),
            Some(_) => Err(Refused::new(422, "`user_id` must have 1 to 128 characters")),
        }
    }

    fn user_info(&self) -> Result<Option<&RawValue>, Refused> {
        let Some(text) = self.get("user_info") else { return Ok(None) };
        let is_json = json::read(text).is_ok();
        let info = json::parse(text).ok().filter(|_| is_json);
        info.map(Some).ok_or_else(|| Refused::new(422, "`user_info` must be JSON"))
    }
}

/// What lets a client subscribe.
#[derive(Serialize)]
struct ChannelAuth {
    auth: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_data: Option<String>,
}

/// What lets a client sign in.
#[derive(Serialize)]
struct UserAuth {
    auth: String,
    user_data: String,
}

#[derive(Serialize)]
struct ChannelData<'a> {
    user_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_info: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct UserData<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_info: Option<&'a RawValue>,
}

/// Answers who asks to subscribe (`/broadcasting/auth`): with `socket_id` and `channel_name`, and for
/// presence `user_id` and `user_info`, which is JSON.
///
/// # Errors
/// 403 for a channel that nobody has to be authorised for, or that cannot be; 422 for fields that are
/// missing or wrong.
pub fn channel(app: &App, fields: &Fields) -> Result<String, Refused> {
    let socket_id = fields.socket_id()?;
    let Some(channel) = fields.get("channel_name") else {
        return Err(Refused::new(422, "`channel_name` is missing"));
    };
    let kind = Kind::of(channel);
    if !is_channel(channel) || kind.access == Access::Public {
        return Err(Refused::new(403, "that is no private channel"));
    }
    let mut channel_data = None;
    if kind.is_presence() {
        let data = ChannelData { user_id: fields.user_id()?, user_info: fields.user_info()? };
        channel_data = Some(json::text(&data));
    }
    let auth = auth::channel(app, socket_id, channel, channel_data.as_deref());
    Ok(json::text(&ChannelAuth { auth, channel_data }))
}

/// Answers who asks to sign in (`/broadcasting/user-auth`): with `socket_id`, and `user_id` and
/// `user_info`, which is JSON.
///
/// # Errors
/// 422 for fields that are missing or wrong.
pub fn user(app: &App, fields: &Fields) -> Result<String, Refused> {
    let socket_id = fields.socket_id()?;
    let data = UserData { id: fields.user_id()?, user_info: fields.user_info()? };
    let user_data = json::text(&data);
    let auth = auth::user(app, socket_id, &user_data);
    Ok(json::text(&UserAuth { auth, user_data }))
}
