//! [`NoFiles`]: queries of a server reach no file and no object store, whatever name they find for one.

use std::sync::Arc;

use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::object_store::ObjectStore;
use url::Url;

/// A registry that has nothing and takes nothing.
#[derive(Debug)]
pub(crate) struct NoFiles;

impl ObjectStoreRegistry for NoFiles {
    fn register_store(
        &self,
        _url: &Url,
        _store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        exec_err!("queries of a server read topics, not {}", url.scheme())
    }
}
