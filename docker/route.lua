-- Orthanc: send the CT series of a study that has become stable to the node. Results are not CT, so they never loop.
function OnStableStudy(study, tags, metadata)
  local resources = {}
  for _, series in ipairs(ParseJson(RestApiGet('/studies/' .. study .. '/series'))) do
    if series['MainDicomTags']['Modality'] == 'CT' then table.insert(resources, series['ID']) end
  end
  if #resources > 0 then
    RestApiPost('/modalities/overread/store', DumpJson({Resources = resources, Synchronous = false}, false))
  end
end
